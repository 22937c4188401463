"""Makes the embedded policy: a small model that imitates packs' dialogues.

    python -m agentgym.policy.build --dialogues PACK/dialogues.py [...] --out FOLDER

Competence first, on clean dialogues; then with deliberate mistakes mixed in, so that
it knows the right way and still errs as real agents do.
"""
