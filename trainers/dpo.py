"""Direct preference optimization on TRL's DPOTrainer: `python -m trainers.dpo` is the child's entry point."""

from __future__ import annotations

import sys

from trainers.fitting import choose
from trainers.settings import DPOSettings
from trainers.worker import Job, Plan, common_arguments, main, places


def build(job: Job) -> Plan:
    """The trainer for preference rows. Building it scores every row that will be seen with the reference."""
    from datasets import Dataset
    from trl.trainer.dpo_config import DPOConfig
    from trl.trainer.dpo_trainer import DPOTrainer

    settings: DPOSettings = job.settings
    rows = [job.rows[i] for i in choose(len(job.rows), places(settings), job.order)]
    sft = settings.sft_weight > 0
    trainer = DPOTrainer(
        model=job.model,
        args=DPOConfig(
            **common_arguments(job),
            beta=settings.beta,
            loss_type=["sigmoid", "sft"] if sft else ["sigmoid"],
            loss_weights=[1.0, settings.sft_weight] if sft else None,
            # Once and before training: no second model in memory, no second forward pass a step.
            precompute_ref_log_probs=True,
        ),
        train_dataset=Dataset.from_list([row.row.columns("dpo") for row in rows]),
        processing_class=job.tokenizer,
        peft_config=job.adapter,
    )
    return Plan(trainer, len(rows), len(rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], DPOSettings, build))
