"""Training jobs: one for each moment of a schedule, however many schedulers ask.

It knows no trainer code.
"""

from __future__ import annotations

import redis

from shared.stream.calls import call
from shared.stream.lua import WAKE
from shared.stream.names import TRAIN, TRAINING
from shared.stream.queues import job_fields

# Held by the training that runs.
LOCK = "b:training:lock"
# A slot is remembered for so long that no schedule asks for it again.
_REMEMBER_SECONDS = 30 * 86400
# ARGV: task, slot, seconds to remember it, then the job's fields. 1 if it was enqueued. A training
# of the same task that waits already is enough.
_ONCE = (
    WAKE
    + """
local kind = 'train-' .. ARGV[1] .. '-'
local id = kind .. ARGV[2]
for _, waiting in ipairs(redis.call('LRANGE', 'rq:queue:training', 0, -1)) do
  if waiting:sub(1, #kind) == kind then return 0 end
end
if redis.call('EXISTS', 'rq:job:' .. id) == 1 then return 0 end
if not redis.call('SET', 'b:training:' .. id, 1, 'NX', 'EX', ARGV[3]) then return 0 end
redis.call('HSET', 'rq:job:' .. id, unpack(ARGV, 4))
redis.call('SADD', 'rq:queues', 'rq:queue:training')
redis.call('RPUSH', 'rq:queue:training', id)
wake('training')
return 1
"""
)


def enqueue_training(connection: redis.Redis, task: str, plan: str, slot: str) -> bool:
    """Enqueue one training for a slot of the schedule; False: done or waiting already.

    Args:
        connection: the server.
        task: what is learned; trainings of different tasks wait beside each other.
        plan: JSON of trainer.run.Plan, the job's only argument.
        slot: names the moment, e.g. "t1764000000" or "n1000-3".
    """
    fields = job_fields(connection, [plan], TRAINING, function=TRAIN)
    args = [part for pair in fields.items() for part in pair]
    return bool(connection.eval(_ONCE, 0, task, slot, _REMEMBER_SECONDS, *args))


def training_runs(connection: redis.Redis) -> bool:
    """Whether a training runs now.

    Raises:
        TemporaryFailure: the server cannot be used.
    """
    return bool(call(lambda: connection.exists(LOCK)))
