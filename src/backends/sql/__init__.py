"""What the SQL backends share: tables from entities, and statements compiled once for each shape of query."""
