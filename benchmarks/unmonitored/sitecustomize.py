"""Makes a server that counts no request and tells no times, to measure what counting and telling cost.

Put this directory on PYTHONPATH of `sojourn serve`; other processes are left as they are. Only `benchmarks/monitoring.py`
does so. Requests are admitted, batched, answered and refused as ever.
"""

import sys

if "serve" in sys.orig_argv:
    from sojourn.domain.event import RequestArrived
    from sojourn.domain.request import Outcome
    from sojourn.runtime.run import Call, Run
    from sojourn.runtime.service import FunctionService
    from sojourn.telemetry.meter import FunctionMeter
    from sojourn.wire.message import ContentKind

    def _submit(self, caller, body, kind, priority, client_timeout_s):
        self._number = number = self._number + 1
        now_s = self._clock()
        if self._quarantine and self._quarantine.holds(body, now_s):
            raise AssertionError("nothing is poisoned in this benchmark")
        self._calls[number] = Call(caller, body, kind, 0)
        self._step(RequestArrived(number, len(body), priority, client_timeout_s), now_s)
        return number

    def _finish(self, action, now_s):
        call = self._calls.pop(action.request_id, None)
        if action.outcome is Outcome.SERVED:
            done, position = self._run.done, action.position
            kind = tuple(ContentKind)[done.kinds[position]] if done.kinds else ContentKind.JSON
            call.caller.answer(done.bodies[position], kind, b"")
        elif call is not None:
            call.caller.refuse(action.fault, "", 0, action.retry_after_s)

    def _answered(self, done, now_s):
        self.done = done

    FunctionService.submit = _submit
    FunctionService._finish = _finish
    Run.answered = _answered
    FunctionMeter.batch_done = lambda self, size, service_s, now_s: None
