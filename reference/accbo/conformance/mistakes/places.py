"""Published code in which mistakes of the catalogue were found."""

AUC = "AccBO's released experiments, deep AUC"
CLEANING = "AccBO's released experiments, data cleaning"
