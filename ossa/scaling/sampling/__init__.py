"""From what gateways and agents report to samples, and from samples to what forecasts are made of.

traffic_book.py   reports of many gateway replicas -> one pool's traffic
minutes.py        samples -> minute means of turns at once
"""
