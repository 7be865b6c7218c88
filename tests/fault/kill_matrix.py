"""A chosen rank is killed at a random moment of every stage, on 1, 2 and 4 ranks: the same command then goes on, and
comes to the same codes, scales and figures as the job left alone.

TERCET_KILLS is how many kills to make at least (50), TERCET_SEED the dice (the date that the test was written)."""

import math
import os
import random
import time

from driving import check, check_equal, main
from interrupting import (SOLVED_AND_TUNED, STAGES, Reference, arguments_of, journal, must_come_to, signal_rank, wait_for_stage,
                          wait_until_gone)

KILLS = int(os.environ.get("TERCET_KILLS", "50"))
SEED = int(os.environ.get("TERCET_SEED", "20261125"))
RANKS = {1: 0.5, 2: 0.25, 4: 0.25}  # share of the kills


class Campaign:
    """Kills on one number of ranks until there were enough."""

    def __init__(self, shop, ranks):
        self.shop, self.ranks = shop, ranks
        self.chance = random.Random(SEED + ranks)
        self.reference = Reference(shop, ranks, **SOLVED_AND_TUNED)
        self.kills = {stage: 0 for stage in STAGES}
        self.runs = 0

    def make(self, kills):
        while sum(self.kills.values()) < kills:
            self.interrupted_run()

    def interrupted_run(self):
        """One run, killed once in each stage on its way, then left to finish."""
        self.runs += 1
        run = self.shop.folder / f"killed-{self.ranks}-{self.runs}"
        command = arguments_of(self.shop, run, **SOLVED_AND_TUNED)
        for attempt, stage in enumerate(STAGES, 1):
            if not self.killed(run, command, attempt, stage):
                break  # it was faster than the dice, and is complete
        self.shop.run(*command, ranks=self.ranks).must_end_with(0)
        must_come_to(run, self.reference.outcome, f"run {self.runs} on {self.ranks} ranks")
        speeds = {line["value"] for line in journal(run, "metric") if line["name"] == "speed/packed/decode"}
        check_equal(len(speeds), 1, f"run {self.runs} on {self.ranks} ranks: measurements of the speed")

    def killed(self, run, command, attempt, stage):
        job = self.shop.start(command, self.ranks)
        if wait_for_stage(job, run, attempt, stage):
            time.sleep(self.chance.uniform(0, self.reference.seconds.get(stage, 0.02)))
            victim = self.chance.randrange(self.ranks)
            if signal_rank(job, self.shop.program, victim):
                self.kills[stage] += 1
        return wait_until_gone(job) != 0


def a_job_killed_in_every_stage_comes_to_the_same(shop):
    total = 0
    for ranks, share in RANKS.items():
        campaign = Campaign(shop, ranks)
        campaign.make(math.ceil(share * KILLS))
        total += sum(campaign.kills.values())
        print(f"    {ranks} ranks: {sum(campaign.kills.values())} kills in {campaign.runs} runs: "
              + ", ".join(f"{stage} {count}" for stage, count in campaign.kills.items()), flush=True)
    check(total >= KILLS, f"only {total} kills")


if __name__ == "__main__":
    main([a_job_killed_in_every_stage_comes_to_the_same])
