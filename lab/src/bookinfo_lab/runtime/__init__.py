"""A running lab: its pods, proxies and processes, and the transaction that changes them."""
