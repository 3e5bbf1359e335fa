"""Functions as users declare them, at the top level of a file."""

import sojourn


@sojourn.function(examples=["warm"])
class Shout:
    """Keeps what was done with it."""

    def __init__(self) -> None:
        self.done = ["loaded"]

    def warmup(self) -> None:
        self.done.append("warmed up")

    def __call__(self, words: list[str]) -> list[str]:
        self.done.append(f"{len(words)} at once")
        return [word.upper() for word in words]

    def close(self) -> None:
        self.done.append("closed")


@sojourn.function
async def echo(items: list[int]) -> list[int]:
    """Takes its time."""
    return items


@sojourn.function
def halve(numbers: list[int]) -> list[float]:
    """Fails for odd ones."""
    return [_half(number) for number in numbers]


def _half(number: int) -> float:
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number / 2
