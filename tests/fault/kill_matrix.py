"""A chosen rank is killed at a random moment of every stage, on 1, 2 and 4 ranks: the same command then goes on, and
comes to the same codes, scales and figures as the job left alone.

TERCET_KILLS is how many kills to make at least (50), TERCET_SEED the dice (the date that the test was written)."""

import math
import os

from driving import check, main
from interrupting import SOLVED_AND_TUNED, STAGES, Campaign

KILLS = int(os.environ.get("TERCET_KILLS", "50"))
SEED = int(os.environ.get("TERCET_SEED", "20261125"))
RANKS = {1: 0.5, 2: 0.25, 4: 0.25}  # share of the kills


def a_job_killed_in_every_stage_comes_to_the_same(shop):
    total = 0
    for ranks, share in RANKS.items():
        campaign = Campaign(shop, ranks, STAGES, SEED, **SOLVED_AND_TUNED)
        campaign.make(math.ceil(share * KILLS))
        total += sum(campaign.kills.values())
        print(f"    {ranks} ranks: {sum(campaign.kills.values())} kills in {campaign.runs} runs: "
              + ", ".join(f"{stage} {count}" for stage, count in campaign.kills.items()), flush=True)
    check(total >= KILLS, f"only {total} kills")


if __name__ == "__main__":
    main([a_job_killed_in_every_stage_comes_to_the_same])
