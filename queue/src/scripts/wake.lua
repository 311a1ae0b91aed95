#!lua flags=allow-oom
-- Has one replica look for work.
-- KEYS[1]  base of the partition's keys
-- Reply    OK
wake(KEYS[1])
return 'OK'
