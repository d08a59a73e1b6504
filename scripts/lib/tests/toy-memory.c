// SPDX-License-Identifier: GPL-2.0

/* vmf_anon_prepare(nothing) in a comment is no call. */
static int do_anonymous_page(struct vm_fault *vmf)
{
	int ret;

	ret = vmf_anon_prepare(vmf);
	if (ret)
		return ret;
	return map_page(vmf);
}

int lock_vma(void)
{
	return 0;
}
EXPORT_SYMBOL_GPL(lock_vma_under_rcu);

static int first(void)
{
	prepare();
	check();
	return 0;
}

int another(void)
{
	check();
	return 0;
}
