"""Who may call, how much, and through which door: TLS, tokens, and what a token allows."""
