"""Nine health outcomes of one survey, one model: ``python examples/hello.py`` (extra [datasets])."""

import polytask

people = polytask.datasets.load("nhanes")  # a health survey: 60 features, 9 outcomes
learner = polytask.Learner(people.tasks).fit(people.table[:5000])
print(learner.evaluate(people.table[5000:]))
print(learner.predict(people.table[5000:5003]))
