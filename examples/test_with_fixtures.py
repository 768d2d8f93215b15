"""Tests of an application with the fixtures that rro-sdk brings: pytest examples/test_with_fixtures.py"""

import asyncio

import rro_sdk as rro
from servers.fake import Fault


async def application(sampler: rro.Sampler, tasks) -> list[rro.PreferencePair]:
    async with sampler:
        return [pair async for pair in sampler.pairs(tasks)]


def test_pairs_come_of_a_server(rro_server, rro_env, rro_tasks):
    sampler = rro.Sampler(rro_env, servers=[rro_server.url])
    pairs = asyncio.run(application(sampler, rro_tasks))
    assert sampler.summary().tasks == 4 and rro_server.counters.requests > 0
    assert {pair.task_id for pair in pairs} <= {task.id for task in rro_tasks}


def test_a_server_that_fails_once_is_asked_again(rro_servers, rro_env, rro_tasks):
    server = rro_servers(reply=lambda messages, seed, index: "Action: move 0", faults={1: Fault("status")})
    sampler = rro.Sampler(rro_env, servers=[server.url])
    asyncio.run(application(sampler, rro_tasks[:1]))
    assert sampler.summary().retries == 1


def test_an_expert_is_never_bettered(rro_policy, rro_env, rro_tasks):
    policy = rro_policy(rro_env.expert_replies(rro_tasks[0].id))
    sampler = rro.Sampler(rro_env, policy=policy)
    assert asyncio.run(application(sampler, rro_tasks[:1])) == []
    assert sampler.summary().mean_outcome == 1.0 and len(policy.asked) > 4
