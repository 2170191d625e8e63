"""The engine: it gathers what a method may see from autograd and writes the answer into ``.grad``.

Read in this order: :mod:`~polytask.balancing.engine.survey` looks at the recorded graph, one of two gatherers takes the
task gradients from it (:mod:`~polytask.balancing.engine.sequential` with one ordinary backward pass per task,
:mod:`~polytask.balancing.engine.walk` with one batched pass for all), and :mod:`~polytask.balancing.engine.deliver`
hands the result to ``.grad``. :mod:`~polytask.balancing.engine.engine` chooses.
"""
