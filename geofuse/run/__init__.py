"""Where WHERE and WHAT meet: plans are made and run here."""
