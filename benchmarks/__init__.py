"""What saving and restoring cost, beside other programs and beside what the machine can do at all.

    workloads       the data: names and random arrays, the same in every process
    places          the directories: in memory and on disk; what makes a file cold, and who removes what
    contenders      one file a program, each with the same small interface; `limits` is the machine itself
    worker          the process in which one contender lives; takes steps from a pipe, gives back seconds or bytes
    rounds          workers in turn, A B C A B C, so that whatever slows the machine slows all of them alike
    plan            what is compared with what, on which data, and what is hoped for
    results         medians of ratios, one for each round
    table, picture  how it shows

`python -m benchmarks --help` says how it is run. Nothing here is part of the package, or of the tests.
"""
