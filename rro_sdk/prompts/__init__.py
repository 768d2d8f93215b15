"""How a policy is asked, and how its replies are read."""
