"""Talks to people: takes their messages in, says what the database holds. Never imports torch."""
