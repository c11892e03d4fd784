"""Workers: they play and score groups of episodes, in this process or as Ray actors."""
