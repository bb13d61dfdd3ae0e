#!/usr/bin/env python3
"""Writes planned_orders.json: orders planned by the authors' own schedulers.

usage: make_planned_goldens.py REPOSITORY > planned_orders.json
REPOSITORY: a checkout of sail-sg/zero-bubble-pipeline-parallelism (written with commit 39f2c186).
"""
import contextlib
import importlib.util
import io
import json
import pathlib
import sys
import types

PACKAGE = "megatron.core.pipeline_parallel.zerobubble.scheduler"
FOLDER = pathlib.Path(sys.argv[1]) / PACKAGE.replace(".", "/")


def load(name):
    """One scheduler module, without the packages that only the training code needs."""
    spec = importlib.util.spec_from_file_location(f"{PACKAGE}.{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[f"{PACKAGE}.{name}"] = module
    spec.loader.exec_module(module)
    return module


parts = PACKAGE.split(".")
for end in range(1, len(parts) + 1):
    sys.modules[".".join(parts[:end])] = types.ModuleType(parts[end - 1])
sys.modules["pulp"] = types.ModuleType("pulp")
sys.modules["torch"] = types.SimpleNamespace(Tensor=object)
graph, zb, zbv, zbv_greedy = load("graph"), load("zb"), load("zbv"), load("zbv_greedy")


def action(ranks, rank, category, chunk, micro_batch):
    """The authors count the chunks of a backward from its own start."""
    upper = (chunk == 1) == (category == 0)
    return f"{2 * ranks - 1 - rank if upper else rank}{'FIW'[category]}{micro_batch}"


def zb_auto(case):
    p, m = case["ranks"], case["micro_batches"]
    kept, stash = case["activation"], case["weight_stash"]
    config = graph.GraphConfig(
        mem_f=[kept] * p, mem_b=[stash - kept] * p, mem_w=[-stash] * p,
        max_mem=[case["memory_cap"]] * p, cost_f=[case["forward"]] * p,
        cost_b=[case["input"]] * p, cost_w=[case["weight"]] * p,
        cost_comm=case["communication"], n_stages=p, n_micro=m)
    plan = zb.Graph.build_graph(p, m, config)
    _, order, _ = zb.initial_solution(plan, False)
    keys = [(kind, mb) for kind in range(3) for mb in range(m)]
    return [[f"{r}{'FIW'[kind]}{mb}" for kind, mb in
             sorted(keys, key=lambda k: order[plan.get_id(k[0], r, k[1])])] for r in range(p)]


def zbv_orders(case):
    p, kept, stash = case["ranks"], case["activation"] / 2, case["weight_stash"] / 2
    planner = zbv.PipelineGraph(
        p, case["micro_batches"], case["forward"], case["input"], case["weight"],
        case["communication"], kept, stash - kept, -stash, case["memory_cap"])
    plans = [planner.try_v_schedule(fill_f=f, fill_b=b) for b in (True, False)
             for f in (True, False)]
    best = min(plans, key=lambda plan: plan[2])[0]
    return [[action(p, rank, *item) for item in best[rank]] for rank in range(p)]


def block_orders(case):
    p = case["ranks"]
    times = [case["forward"], case["input"], case["weight"]]
    kind = case["generator"].removeprefix("v-")
    planner = zbv_greedy.PipelineGraph(
        p, case["micro_batches"], kind, *times, case["communication"])
    pattern = getattr(planner, f"stable_pattern_v_{kind}")(p)
    _, _, orders = planner.schedule_from_pattern(
        pattern, case["micro_batches"], [times[t // 2] for t in range(6)])
    return [[action(p, rank, t // 2, t % 2, mb) for t, mb in orders[rank]] for rank in range(p)]


COSTS = [(1.0, 1.0, 1.0, 0.0), (3.0, 4.0, 2.0, 0.0), (18.522, 18.086, 9.337, 0.601),
         (5.0, 4.0, 7.0, 1.0)]
# Chosen so that each hyper-parameter of a heuristic decides at least one case.
PLANS = [
    ("zb-auto", zb_auto, [(4, 6, 1.0), (2, 5, 2.0), (3, 4, 1.5), (3, 5, 2 / 3), (3, 6, 2.0),
                          (3, 8, 1.5)]),
    ("zbv-greedy", zbv_orders, [(4, 6, 1.0), (3, 5, 1.0), (3, 6, 1.5), (5, 2, 1.0)]),
    ("v-half", block_orders, [(4, 6, 0.0), (3, 8, 0.0)]),
    ("v-min", block_orders, [(4, 6, 0.0), (3, 8, 0.0)]),
]
cases = []
for generator, plan, shapes in PLANS:
    for p, m, cap in shapes:
        for forward, backward, weight, communication in COSTS if cap else COSTS[:1]:
            case = {"generator": generator, "ranks": p, "micro_batches": m, "forward": forward,
                    "input": backward, "weight": weight, "communication": communication,
                    "activation": 64.0, "weight_stash": 16.0, "memory_cap": cap * p * 64.0}
            with contextlib.redirect_stdout(io.StringIO()):
                case["programs"] = [" ".join(program) for program in plan(case)]
            cases.append(json.dumps(case))
print("[\n" + ",\n".join(cases) + "\n]")
