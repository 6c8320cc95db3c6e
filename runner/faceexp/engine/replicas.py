"""Loss and gradients of a batch in phase 1: on one device, or on several that each compute a part of the batch.

The weights lie on the first device. It gathers the embeddings of all parts and computes the loss of them together, so
that every loss has the value that it has without replicas, one that compares images with each other as well. Its
gradient for the embeddings goes back to the parts, and what comes of that, gradients for the weights, is summed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from faceexp.engine.backend import Tensor, Variable, compiled, random_states, tensorflow
from faceexp.engine.borders import PluginValueError
from faceexp.engine.descent import Descent
from faceexp.engine.losses import gradients_of
from faceexp.engine.network import Network
from faceexp.errors import InputError

Gradients = list[Tensor | None]
# From inputs (B, ...) to embeddings (B, D), and from embeddings to the value of the loss.
Embed = Callable[[Tensor], Tensor]
Judge = Callable[[Tensor], Tensor]


class OneDevice:
    """Computes a whole batch at once.

    Args:
        trained: The weights of the network that are trained.
        kept: Every variable of the network.
        of_loss: Every weight of the loss.
        descent: What changes weights, those of the network before those of the loss.
    """

    def __init__(
        self, trained: Sequence[Variable], kept: Sequence[Variable], of_loss: Sequence[Variable], descent: Descent
    ) -> None:
        self._trained, self._kept, self._known = list(trained), list(kept), [*kept, *of_loss]
        self._of_loss, self._scale = descent.trained[len(trained) :], descent.scale

    def gradients(self, inputs: Tensor, embed: Embed, judge: Judge) -> tuple[Tensor, Gradients]:
        """Return the loss of a batch, and the gradients that :meth:`Descent.apply` takes.

        Args:
            inputs: Images, normalised, or features, (B, ...).
            embed: Returns their embeddings.
            judge: Returns the loss of a whole batch.
        """
        with tensorflow().GradientTape() as tape:
            loss = judge(embed(inputs))
        return loss, gradients_of(tape, loss, [*self._trained, *self._of_loss], self._known, self._scale)


class Replicas(OneDevice):
    """Divides each batch evenly among several devices, by ``tf.distribute.MirroredStrategy``.

    Args:
        count: How many there are: the first GPUs, or where there is none the processor as so many devices.
        trained: See :class:`OneDevice`.
        kept: See :class:`OneDevice`.
        of_loss: See :class:`OneDevice`.
        descent: See :class:`OneDevice`.

    Raises:
        InputError: TensorFlow has fewer devices in this process; see :func:`faceexp.engine.backend.begin`.
    """

    def __init__(
        self,
        count: int,
        trained: Sequence[Variable],
        kept: Sequence[Variable],
        of_loss: Sequence[Variable],
        descent: Descent,
    ) -> None:
        super().__init__(trained, kept, of_loss, descent)
        tf = tensorflow()
        kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
        self._devices = [device.name for device in tf.config.list_logical_devices(kind)[:count]]
        if len(self._devices) < count:
            raise InputError(f"replicas = {count}: devices of kind {kind} in this process: {len(self._devices)}")
        # It adds in one order, so that sums have the same bits each time.
        self._strategy = tf.distribute.MirroredStrategy(self._devices, tf.distribute.ReductionToOneDevice())

    def gradients(self, inputs: Tensor, embed: Embed, judge: Judge) -> tuple[Tensor, Gradients]:
        """Return what :class:`OneDevice` does, up to rounding.

        The layers of the network see a part of the batch, and each device draws other random numbers. What layers keep
        from step to step, such as the running means of batch normalisation, becomes the mean of what it is on each
        device; a whole number, such as the state of random numbers, that of the first.

        Raises:
            PluginValueError: A layer sets weights that are trained, which each device would do in its own way.
        """
        tf, count = tensorflow(), len(self._devices)
        parts = tf.split(inputs, count)

        def of_part() -> tuple[Tensor, Gradients, Gradients, Gradients]:
            context = tf.distribute.get_replica_context()
            number = int(tf.get_static_value(context.replica_id_in_sync_group))
            # With 0 added, the first device draws as if it were alone.
            seeds = [(each, each + tf.constant([number, 0], each.dtype)) for each in random_states(self._kept)]
            # All devices see the same variables, so none may set them while another one computes.
            with tf.keras.StatelessScope(seeds) as scope, tf.GradientTape() as tape:
                embeddings = embed(parts[number])
            after = [scope.get_current_value(variable) for variable in self._kept]
            loss, of_whole, *of_loss = context.merge_call(self._judged, args=(embeddings, judge))
            if of_whole is None:
                return loss, [None] * len(self._trained), of_loss, after
            of_embeddings = tf.split(of_whole, count)[number]
            return loss, tape.gradient(embeddings, self._trained, output_gradients=of_embeddings), of_loss, after

        loss, of_parts, of_loss, after = self._strategy.run(of_part)
        self._keep(after)
        return loss, [*(each if each is None else self._sum(each) for each in of_parts), *of_loss]

    def _judged(self, strategy: Tensor, embeddings: Tensor, judge: Judge) -> Gradients:
        """Return the loss of the embeddings of all parts, its gradient for them, and those for its own weights."""
        tf = tensorflow()
        whole = tf.concat(strategy.experimental_local_results(embeddings), 0)
        with tf.GradientTape() as tape:
            tape.watch(whole)
            loss = judge(whole)
        return [loss, *gradients_of(tape, loss, [whole, *self._of_loss], self._known, self._scale)]

    def _sum(self, parts: Tensor) -> Tensor:
        """Return the sum of what each device has, on the first one."""
        add = tensorflow().distribute.ReduceOp.SUM
        return self._strategy.extended.reduce_to(add, parts, self._devices[0])

    def _keep(self, after: Gradients) -> None:
        """Set what layers have changed to the mean of all devices, and whole numbers to those of the first one."""
        changed = [(variable, parts) for variable, parts in zip(self._kept, after, strict=True) if parts is not None]
        _refuse_trained([variable for variable, _ in changed], self._trained)
        for variable, parts in changed:
            first = self._strategy.experimental_local_results(parts)[0]
            variable.assign(self._sum(parts) / len(self._devices) if first.dtype.is_floating else first)


def check_divides(network: Network) -> None:
    """Refuse a network that could be trained, but not in parts.

    Raises:
        PluginValueError: A layer sets weights that are trained.
    """
    tf = tensorflow()

    def traced(images: Tensor) -> None:
        with tf.keras.StatelessScope() as scope:
            network.features(images, training=True)
        changed = [each for each in network.every_variable if scope.get_current_value(each) is not None]
        _refuse_trained(changed, network.trainable_variables(whole=True))

    compiled(traced).get_concrete_function(tf.TensorSpec((None, *network.shape), "float32"))


def _refuse_trained(changed: Sequence[Variable], trained: Sequence[Variable]) -> None:
    known = {id(variable) for variable in trained}
    for variable in changed:
        if id(variable) in known:
            raise PluginValueError(
                f"a layer of the trunk sets {variable.path}, which is trained, at each step; set pretrain.replicas to 1"
            )
