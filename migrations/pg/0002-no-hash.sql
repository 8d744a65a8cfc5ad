-- The hash of a message's text stood beside the sealed text: whoever read the table could try texts against it.
ALTER TABLE room_log DROP COLUMN body_hash;
