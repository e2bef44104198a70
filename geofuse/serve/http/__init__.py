"""The protocol: requests, answers, guards."""
