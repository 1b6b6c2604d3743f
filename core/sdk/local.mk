# core/sdk: THE CONTRACT. Installed; the only headers modules/ and authn/ may include.
sdkdir = $(includedir)/mortise
sdk_HEADERS = \
	core/sdk/mortise/error.h core/sdk/mortise/option.h core/sdk/mortise/module.h core/sdk/mortise/host.h \
	core/sdk/mortise/driver.h core/sdk/mortise/password.h core/sdk/mortise/sasl.h
