"""What leaves the house: messages to webhooks, Slack-compatible chats and mailboxes, kept until they arrive."""
