-- Per-agent inbox messages (replaces nodes/{agent}/inbox/*.json)
CREATE TABLE messages (
    id TEXT PRIMARY KEY,
    recipient TEXT NOT NULL,
    sender TEXT NOT NULL,
    content TEXT NOT NULL,
    message_type TEXT DEFAULT 'task',
    reply_to TEXT,
    timestamp TEXT NOT NULL,
    read_at TEXT,  -- NULL = unread
    created_at TEXT DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX idx_messages_recipient ON messages(recipient);
CREATE INDEX idx_messages_unread ON messages(recipient, read_at) WHERE read_at IS NULL;

-- Per-agent context window (replaces nodes/{agent}/context_window.json)
CREATE TABLE context (
    agent TEXT PRIMARY KEY,
    text TEXT DEFAULT '',
    last_heartbeat TEXT,
    updated_at TEXT
);

-- Per-agent expertise domains (replaces nodes/{agent}/expertise.json)
CREATE TABLE expertise (
    agent TEXT NOT NULL,
    domain TEXT NOT NULL,
    updated_at TEXT,
    PRIMARY KEY (agent, domain)
);

-- Per-agent behavioral profile (replaces nodes/{agent}/profile.json)
CREATE TABLE profiles (
    agent TEXT PRIMARY KEY,
    default_role TEXT,
    traits TEXT,  -- JSON blob
    updated_at TEXT
);

-- Polls (replaces shared/polls.json)
CREATE TABLE polls (
    id TEXT PRIMARY KEY,
    question TEXT NOT NULL,
    options TEXT NOT NULL,  -- JSON array
    status TEXT DEFAULT 'open',
    creator TEXT NOT NULL,
    created_at TEXT NOT NULL
);

-- Individual votes (normalized from embedded dict)
CREATE TABLE votes (
    poll_id TEXT NOT NULL,
    voter TEXT NOT NULL,
    option TEXT NOT NULL,
    voted_at TEXT DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (poll_id, voter),
    FOREIGN KEY (poll_id) REFERENCES polls(id)
);

-- Sessions (replaces shared/sessions/{id}.json)
CREATE TABLE sessions (
    id TEXT PRIMARY KEY,
    title TEXT NOT NULL,
    description TEXT,
    lead TEXT NOT NULL,
    phase TEXT DEFAULT 'planning',
    created_at TEXT NOT NULL,
    updated_at TEXT
);

-- Session role assignments
CREATE TABLE session_roles (
    session_id TEXT NOT NULL,
    agent TEXT NOT NULL,
    role TEXT NOT NULL,
    subtask TEXT,
    assigned_at TEXT DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (session_id, agent),
    FOREIGN KEY (session_id) REFERENCES sessions(id)
);

-- Session artifacts
CREATE TABLE session_artifacts (
    session_id TEXT NOT NULL,
    artifact_type TEXT NOT NULL,
    path TEXT NOT NULL,  -- File path only, not content
    attached_at TEXT DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (session_id, artifact_type),
    FOREIGN KEY (session_id) REFERENCES sessions(id)
);

-- Session reviews
CREATE TABLE session_reviews (
    session_id TEXT NOT NULL,
    artifact_type TEXT NOT NULL,
    reviewer TEXT NOT NULL,
    status TEXT,  -- 'approved' | 'changes_requested'
    comments TEXT,
    reviewed_at TEXT,
    PRIMARY KEY (session_id, artifact_type, reviewer),
    FOREIGN KEY (session_id) REFERENCES sessions(id)
);

-- Message history (optional - for debugging/audit)
CREATE TABLE message_history (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    direction TEXT NOT NULL,  -- 'sent' | 'received'
    sender TEXT NOT NULL,
    recipient TEXT NOT NULL,
    content TEXT NOT NULL,
    message_type TEXT,
    timestamp TEXT NOT NULL,
    message_id TEXT
);
