"""What can be done with limits: of workflows, of the tenant (for operators), and rates of targets."""
