"""Amazon's protocols: addresses, parameters, parsing, errors. Knows neither Django nor our rows."""
