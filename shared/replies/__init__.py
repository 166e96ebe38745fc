"""What a public answer to a review says, and what none may say. Nothing is ever posted from here."""
