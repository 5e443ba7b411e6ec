"""Webhooks: signed POST requests about events, as the specification Standard Webhooks 1.0.0 has them.

`message` makes the body and the signatures, `sender` sends them. The deliveries wait in the ledger; `service` makes them.
"""
