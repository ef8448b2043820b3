"""Chat completions of any server that speaks OpenAI's protocol."""
