"""Searches: settings tried on the validation split by TPE; nothing of them enters a table."""
