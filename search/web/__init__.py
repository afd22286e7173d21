"""Answers to look at: one set of templates for the report that is sent and the page that is served."""
