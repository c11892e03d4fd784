"""The gateway: an HTTP endpoint through which agent programs of any kind use the policy, with exact tokens."""
