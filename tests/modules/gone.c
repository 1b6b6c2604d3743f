/* The library that is gone when missing-library is loaded. */
int mortise_gone(void);

int mortise_gone(void)
{
	return 0;
}
