"""The guard's HTTP door: who asks is verified here, refusals leave here in one text and one time, nothing is decided here.

Only this room knows HTTP and tokens. What it asks (decide, release, requests of people) is handed to it.
"""
