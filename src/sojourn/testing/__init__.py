"""For users' own tests: a function without a server, as a replica runs it; or a real server on free ports.

```python
import sojourn.testing

def test_one_item():
    assert sojourn.testing.call(Digits, image) == 7

def test_many():
    with sojourn.testing.loaded(Digits) as digits:
        assert digits.call_batch(images) == labels

def test_over_http():
    with sojourn.testing.serve(Digits) as client:
        assert client.invoke("digits", image) == 7
```
"""

from __future__ import annotations

from sojourn.testing.loaded import Loaded, call, call_batch, loaded
from sojourn.testing.serving import serve

__all__ = ["Loaded", "call", "call_batch", "loaded", "serve"]
