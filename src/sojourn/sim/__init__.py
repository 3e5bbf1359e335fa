"""The second driver: runs the unchanged core in virtual time against modelled replicas."""
