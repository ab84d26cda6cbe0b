"""Turning what was found into what others read: text, JSON, SARIF, the HTML report. Values in; nothing here reads accesses."""
