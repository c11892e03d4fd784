"""A process that has imported the trainer, and forks one that runs ``lachesis`` for each line of arguments it reads.

So a run that was killed is up again in a fraction of a second. For each line, a JSON list, it writes the number of the
process, and when that has ended, its exit code.
"""

import json
import os
import sys

import torch.utils.tensorboard  # noqa: F401 - what a run imports is imported here, once
from transformers.models.qwen3 import modeling_qwen3  # noqa: F401

import lachesis.commands.run.train
import lachesis.rollout.engines.embedded.engine
import lachesis.trainer.run.progress
import lachesis.trainer.train  # noqa: F401
from lachesis.commands import cli

for line in sys.stdin:
    child = os.fork()
    if not child:
        sys.argv = ["lachesis", *json.loads(line)]
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        cli.main()
        os._exit(0)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
