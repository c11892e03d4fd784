"""Instruction-following checks: IFEval and related datasets."""
