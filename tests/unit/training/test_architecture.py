import keras
import numpy as np
from inkstream_training.architecture import build_model, build_network, logits_of, predict


def test_the_network_has_the_stated_layers_and_weights() -> None:
    model = build_model()
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds == ["Flatten", "Dense", "Dense", "Dense"]
    assert [layer.units for layer in model.layers[1:]] == [128, 128, 10]
    activations = [layer.activation.__name__ for layer in model.layers[1:]]
    assert activations == ["relu", "relu", "softmax"]
    assert model.count_params() == 118_282
    assert model.input_shape == (None, 28, 28)
    assert model.output_shape == (None, 10)


def test_it_is_compiled_with_adam_and_sparse_cross_entropy() -> None:
    model = build_model(1e-3)
    assert isinstance(model.optimizer, keras.optimizers.Adam)
    assert np.isclose(float(model.optimizer.learning_rate), 1e-3)
    assert model.loss == "sparse_categorical_crossentropy"
    images, labels = np.zeros((4, 28, 28), np.float32), np.zeros(4)
    figures = model.evaluate(images, labels, verbose=0, return_dict=True)
    assert set(figures) == {"loss", "accuracy"}


def test_logits_are_the_network_before_its_softmax() -> None:
    keras.utils.set_random_seed(3)
    model = build_network()
    images = np.random.default_rng(0).random((7, 28, 28), np.float32)
    logits = np.asarray(logits_of(model.get_weights(), images))
    powers = np.exp(logits)
    expected = powers / powers.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(predict(model, images), expected, atol=1e-6)


def test_bytes_are_scaled_to_floats() -> None:
    keras.utils.set_random_seed(3)
    model = build_network()
    images = np.random.default_rng(0).integers(0, 256, (5, 28, 28), np.uint8)
    floats = images.astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(predict(model, images), predict(model, floats))
