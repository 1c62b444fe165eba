"""The stage `maxitrack`: whole exposures, screened."""
