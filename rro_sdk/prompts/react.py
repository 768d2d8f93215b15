"""ReAct turns (arXiv 2210.03629): a thought, then one action; how they are asked for and read.

Pure text in, text out. What a command means is the environment's business.
"""

from __future__ import annotations

from rro_sdk.types import Action, Message, Observation, Step

FORMAT = (
    "Answer each turn with exactly two parts:\n"
    "Thought: one short sentence on what to do next\n"
    "Action: one command"
)

STOP = ("\nObservation:", "\nThought:")
"""Where a turn is cut off: at an observation that the agent makes up, or at a second turn."""


def system_message(instructions: str) -> Message:
    """The system message: what the commands are, then the form of a turn."""
    return Message("system", f"{instructions.strip()}\n\n{FORMAT}")


def observation_message(observation: Observation) -> Message:
    return Message("user", f"Observation: {observation.text}")


def turn_messages(step: Step) -> tuple[Message, Message]:
    """The two messages by which a finished turn goes into the history, the reply verbatim."""
    return Message("assistant", step.action.text), observation_message(step.observation)


def parse(text: str, finish_reason: str) -> Action:
    """Read one reply.

    A reply that cannot be read gives an `Action` without a command, whose `error` tells the agent what
    was wrong; it never raises.
    """
    if finish_reason == "length":
        return Action(text, None, "Your reply was cut off because it was too long. Answer shorter.")
    _, mark, rest = text.partition("Action:")
    if not mark:
        return Action(
            text,
            None,
            'Your reply has no "Action:" line. Write "Action:" and one command after your thought.',
        )
    command = rest.strip()
    if not command:
        return Action(text, None, 'There is nothing after "Action:". Write one command there.')
    return Action(text, command)
