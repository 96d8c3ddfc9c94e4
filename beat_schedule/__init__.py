"""When tasks go, and where: the schedule, and the scheduler that fans it out over symbols and nodes."""
