#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Train the example model, once. Needs scikit-learn, numpy, skl2onnx, onnx and safetensors; Merlon itself needs none of it.

python3 -m venv venv && venv/bin/pip install -r requirements.txt && venv/bin/python train.py

Writes model.pkl, model.onnx, model.safetensors, predictions.csv and model-card.yaml to diabetes/, and biased/predictions.csv.
It lies outside of the model's folder because a released model should hold no code.
"""
import json
import pathlib
import pickle
import platform

import numpy as np
import onnx
import sklearn
import skl2onnx
from safetensors.numpy import save_file
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skl2onnx.common.data_types import FloatTensorType

HERE = pathlib.Path(__file__).resolve().parent / "diabetes"
SEED = 20
BANDS = ((0, 40, "under 40"), (40, 55, "40 to 54"), (55, 200, "55 and over"))


def age_band(years):
    return next(name for low, high, name in BANDS if low <= years < high)


def build():
    """A plain regularised logistic regression; nothing in it knows of groups."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000, random_state=SEED))


def write_predictions(path, y, chosen, score, sex, bands):
    with open(path, "w", encoding="utf-8", newline="") as out:
        out.write("y_true,y_pred,score,sex,age_band\n")
        for row in zip(y, chosen, score, sex, bands):
            out.write("%d,%d,%.6f,%d,%s\n" % row)


def impact_ratio(chosen, sex):
    rates = [float(np.mean(chosen[sex == s])) for s in np.unique(sex)]
    return min(rates) / max(rates)


def export(model, names):
    with open(HERE / "model.pkl", "wb") as out:
        pickle.dump(model, out, protocol=4)
    graph = skl2onnx.to_onnx(model, initial_types=[("features", FloatTensorType([None, len(names)]))],
                             options={"zipmap": False}, target_opset=15)
    graph.producer_version = ""
    onnx.save(graph, HERE / "model.onnx")
    scaler, regression = model[0], model[1]
    save_file({"mean": scaler.mean_, "scale": scaler.scale_, "coefficients": regression.coef_, "intercept": regression.intercept_},
              HERE / "model.safetensors", metadata={"features": ",".join(names)})


def write_card(names, y, chosen, score, ratio):
    """Facts for the model card; JSON is YAML too, but this reads better."""
    accuracy = float(np.mean(y == chosen))
    lines = [
        "# Facts for the model card, written by train.py.",
        "name: diabetes-progression",
        "version: 1.0.0",
        "task: binary classification",
        "target: disease progression one year after baseline is above the median of the 442 patients",
        "algorithm: logistic regression (L2, C = 0.1) over standardised features",
        "features: [%s]" % ", ".join(names),
        "data:",
        "  name: diabetes, 442 patients, as shipped with scikit-learn",
        "  source: Efron, Hastie, Johnstone, Tibshirani (2004), Least Angle Regression, Annals of Statistics 32(2)",
        "  rows: %d" % len(y),
        "evaluation:",
        "  method: 10-fold cross-validation, every patient predicted by a model that did not see him",
        "  threshold: 0.5",
        "  accuracy: %.4f" % accuracy,
        "  selection_rate: %.4f" % float(np.mean(chosen)),
        "  adverse_impact_ratio_by_sex: %.4f" % ratio,
        "intended_use: an example for release tooling; not for any decision about a person",
        "limits: one clinic's patients, before 2004; sex is coded 1 and 2 and the source does not say which is which",
        "made_with: {python: %s, scikit-learn: %s, numpy: %s, skl2onnx: %s}"
        % (json.dumps(platform.python_version()), json.dumps(sklearn.__version__), json.dumps(np.__version__), json.dumps(skl2onnx.__version__)),
    ]
    (HERE / "model-card.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main():
    data = load_diabetes(scaled=False)
    x, names = data.data, list(data.feature_names)
    y = (data.target > np.median(data.target)).astype(int)
    sex = x[:, names.index("sex")].astype(int)
    bands = [age_band(a) for a in x[:, names.index("age")]]
    folds = StratifiedKFold(n_splits=10, shuffle=True, random_state=SEED)
    score = cross_val_predict(build(), x, y, cv=folds, method="predict_proba")[:, 1]
    chosen = (score >= 0.5).astype(int)
    ratio = impact_ratio(chosen, sex)
    print("accuracy %.4f, adverse impact ratio by sex %.4f" % (np.mean(chosen == y), ratio))
    write_predictions(HERE / "predictions.csv", y, chosen, score, sex, bands)

    # The biased variant: the same scores, but one group has to reach a higher one.
    biased = (score >= np.where(sex == 2, 0.5, 0.65)).astype(int)
    print("biased: accuracy %.4f, adverse impact ratio by sex %.4f" % (np.mean(biased == y), impact_ratio(biased, sex)))
    write_predictions(HERE.parent / "biased" / "predictions.csv", y, biased, score, sex, bands)

    model = build().fit(x, y)
    export(model, names)
    write_card(names, y, chosen, score, ratio)


if __name__ == "__main__":
    main()
