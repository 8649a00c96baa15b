"""Finance sentiment monitoring: feeds in; per watched name the mood, its turns, and the evidence out."""
