"""From runs to conclusions: many runs at once, what differs between them, and what that allows one to say."""
