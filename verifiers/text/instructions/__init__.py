"""Following instructions: IFEval and its relatives."""
