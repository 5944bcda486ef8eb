-- What decides something and is not in a sealed body stands in its row and once more in an index, so that the check of
-- the whole journal finds a changed byte in either. No query needs these indexes; other such columns are in one anyway.

CREATE INDEX runs_resolved ON runs (resolved_at) WHERE resolved_at IS NOT NULL;
CREATE INDEX starts_again ON starts (run_id, at);
CREATE INDEX resolutions_again ON resolutions (at);    -- with the episode: the key is in every index of such a table
CREATE INDEX past_cases_again ON past_cases (run_id);
CREATE INDEX meta_again ON meta (value);

-- What tells this journal from every other.
INSERT INTO meta (key, value) VALUES ('journal', lower(hex(randomblob(16))));
