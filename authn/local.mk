# authn
